//! Providers: how a sender signs, where its event type and delivery id are, and how its events read to a person.
//!
//! Everything about one sender is in its manifest (`providers/*.yaml`, `data/providers/`, `integrations/*/provider.yaml`);
//! the code here knows schemes and templates, and no sender by name. It opens no socket and keeps nothing.
