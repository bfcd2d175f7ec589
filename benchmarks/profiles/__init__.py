"""Where the time of each kind of work goes."""
