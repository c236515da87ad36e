//! Reading a keepalived.conf that somebody else wrote.
