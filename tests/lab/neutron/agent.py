"""What of Neutron's L3 agent has to do with the state monitor, the real classes.

Arguments: the state path. Prints `listening`, then a line `told TIME ROUTER STATE` for what the
agent's server is told, and `answer WORD` for each line of standard input:

    spawn ROUTER NAMESPACE CIDR   starts the monitor as HaRouter does
    active ROUTER                 whether ProcessManager finds it
    state ROUTER                  the state as HaRouter reads it
    destroy ROUTER                ends the monitor as HaRouter does
"""
import os
import sys
import threading
import time
from unittest import mock

from oslo_config import cfg
from oslo_log import log

from neutron import privileged
from neutron.agent.l3 import ha
from neutron.agent.l3 import ha_router
from neutron.agent.linux import keepalived
from neutron.conf.agent import common as agent_conf
from neutron.conf.agent.l3 import config as l3_conf
from neutron.conf.agent.l3 import ha as ha_conf
from neutron.conf import common as common_conf

STATE_PATH = sys.argv[1]
LOCK = threading.Lock()
ROUTERS = {}


def say(*words):
    with LOCK:
        print(*words, flush=True)


class Agent:
    def enqueue_state_change(self, router_id, state):
        say("told", time.monotonic_ns(), router_id, state)


def configure():
    common_conf.register_core_common_config_opts(cfg.CONF)
    agent_conf.register_agent_state_opts_helper(cfg.CONF)
    agent_conf.register_root_helper(cfg.CONF)
    agent_conf.register_external_process_opts(cfg.CONF)
    ha_conf.register_l3_agent_ha_opts(cfg.CONF)
    l3_conf.register_l3_agent_config_opts(l3_conf.OPTS, cfg.CONF)
    log.register_options(cfg.CONF)
    cfg.CONF([], project="neutron", default_config_files=[])
    cfg.CONF.set_override("state_path", STATE_PATH)
    cfg.CONF.set_override("root_helper", "", group="AGENT")
    # This process is root: what needs that is done here, not by a helper.
    privileged.default.set_client_mode(False)


def router_of(router_id, namespace=None, cidr=None):
    if router_id not in ROUTERS:
        router = ha_router.HaRouter.__new__(ha_router.HaRouter)
        router.router_id = router_id
        router.agent_conf = cfg.CONF
        router.ns_name = namespace
        router.ha_port = {"id": "lab"}
        router.driver = mock.Mock(DEV_NAME_LEN=14)
        router.process_monitor = mock.Mock()
        router._ha_state = None
        router._ha_state_path = None
        router._get_primary_vip = lambda: cidr
        router.keepalived_manager = keepalived.KeepalivedManager(
            router_id, keepalived.KeepalivedConf(), mock.Mock(),
            conf_path=cfg.CONF.ha_confs_path, namespace=namespace)
        ROUTERS[router_id] = router
    return ROUTERS[router_id]


def answer(verb, router_id, *rest):
    router = router_of(router_id, *rest)
    if verb == "spawn":
        router.spawn_state_change_monitor(router.process_monitor)
        return "done"
    if verb == "active":
        return router._get_state_change_monitor_process_manager().active
    if verb == "state":
        # It is read from the file once only.
        router._ha_state = None
        return router.ha_state
    if verb == "destroy":
        router.destroy_state_change_monitor(router.process_monitor)
        return "done"
    raise ValueError(verb)


configure()
os.makedirs(cfg.CONF.ha_confs_path, exist_ok=True)
server = ha.L3AgentKeepalivedStateChangeServer(Agent(), cfg.CONF)
server.run()
threading.Thread(target=server.wait, daemon=True).start()
say("listening")
for line in sys.stdin:
    say("answer", answer(*line.split()))
