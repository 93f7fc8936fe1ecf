"""What the operating system does for us, one concern a room."""
