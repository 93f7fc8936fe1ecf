"""What threads do, and how it ends: lanes of short tasks, registered runs, the drain, permits to restart."""
