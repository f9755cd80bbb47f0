"""What every room needs: files, locks, processes, progress, clock, ranges of options."""
