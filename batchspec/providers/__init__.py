"""Providers: one package each, the codec (`wire`) pure, the I/O in `client`."""
