"""What is written where: refs, events, notes."""
