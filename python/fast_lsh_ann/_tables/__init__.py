"""Tables: sources that are read as streams, sinks that are written in one go."""
