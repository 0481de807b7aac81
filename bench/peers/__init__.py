"""What our ways are measured against, and what both are measured on."""
