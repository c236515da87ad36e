//! The terminal: keys and frames; and who asks the daemon meanwhile.
//!
//! A thread of its own asks, so that a daemon that is slow does not keep keys waiting. The
//! terminal is as it was before when this ends, by a key, a signal, an error or a panic.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw;
use super::model::{Input, Key, Model};
use crate::events;
use crate::events::reader::Reader;
use crate::status::command::get;

/// How long a key is waited for before it is looked for anything else.
const KEYS: Duration = Duration::from_millis(100);

/// Shows what the daemon at `socket` says, looked at so often.
pub(super) fn run(socket: &Path, interval: Duration) -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Before there is another thread that could take them.
    signals.thread_block().context("block signals")?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&signals, flags).context("wait for signals")?;
    let (sender, inputs) = channel();
    let path = socket.to_owned();
    thread::Builder::new()
        .name("asking".to_owned())
        .spawn(move || ask(&path, interval, &sender))
        .context("start a thread")?;
    // Takes care of panics, too.
    let mut terminal = ratatui::try_init().context("use the terminal")?;
    let outcome = show(&mut terminal, &inputs, &signals);
    let restored = ratatui::try_restore().context("restore the terminal");
    outcome.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    inputs: &Receiver<Input>,
    signals: &SignalFd,
) -> Result<()> {
    let mut model = Model::default();
    let mut changed = true;
    while !model.ends() {
        if changed {
            terminal
                .draw(|frame| draw::draw(&model, frame))
                .context("draw")?;
        }
        changed = false;
        if event::poll(KEYS).context("wait for keys")? {
            match event::read().context("read a key")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if is_interrupt(key) {
                        return Ok(());
                    }
                    if let Some(key) = known(key) {
                        model.take(Input::Key(key));
                        changed = true;
                    }
                }
                Event::Resize(..) => changed = true,
                _ => {}
            }
        }
        if signals.read_signal().context("look for signals")?.is_some() {
            return Ok(());
        }
        for input in inputs.try_iter() {
            model.take(input);
            changed = true;
        }
    }
    Ok(())
}

/// In raw mode it is a key like others.
fn is_interrupt(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c')
}

fn known(key: KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char(character) => Key::Char(character),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

/// Reads events from now on.
fn begin(directory: &Path) -> Result<Reader> {
    let mut reader = Reader::new(directory, Vec::new())?;
    reader.skip()?;
    Ok(reader)
}

/// Asks again and again, until nobody listens any more.
fn ask(socket: &Path, interval: Duration, sender: &Sender<Input>) {
    let zone = TimeZone::system();
    let mut reader: Option<Reader> = None;
    loop {
        let input = match get(socket, None) {
            Ok(status) => {
                if reader.is_none() {
                    let directory = PathBuf::from(&status.daemon.directory);
                    // Without a right to read them, events are not shown.
                    reader = begin(&directory).ok();
                }
                Input::Status(Box::new(status))
            }
            Err(error) => Input::Trouble(format!("{error:#}")),
        };
        let events = reader.as_mut().map(Reader::read);
        let events = events.and_then(Result::ok).unwrap_or_default();
        let lines: Vec<String> = events.iter().map(|it| events::words(it, &zone)).collect();
        let mut told = sender.send(input).is_ok();
        if !lines.is_empty() {
            told &= sender.send(Input::Events(lines)).is_ok();
        }
        if !told {
            return;
        }
        thread::sleep(interval);
    }
}
