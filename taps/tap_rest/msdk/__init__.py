"""Configs of Meltano's tap-rest-api-msdk, taken over."""
