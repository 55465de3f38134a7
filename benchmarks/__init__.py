"""What wafleet costs and how fast it is, measured on real parts: ``make bench``. Nothing here ships."""
