"""`tap-rest lint`: what a run would refuse in a config, and what somebody who reads it would ask about, without a request."""
