"""The longest piece of time for which one step holds the event loop."""
