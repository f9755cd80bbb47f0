"""Certificates and estimates from random samples, and the statistics behind them."""
