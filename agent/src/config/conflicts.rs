//! What two routers cannot both have.
