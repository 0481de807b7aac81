"""Real image files through the real engine, in process and in its workers."""
