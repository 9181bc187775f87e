"""Doing it: the loop, the actions, the tools. The only clock and id source."""
