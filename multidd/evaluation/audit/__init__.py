"""What a summary loses of the real data, and what it tells of single records."""
