"""Everything that speaks NATS: the gateway service, JetStream's side of the actors' ports, client and command line."""
