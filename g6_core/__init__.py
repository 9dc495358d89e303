"""What both halves of G6 stand on: domain, engine, simulated exchange, schemas, adapters."""
