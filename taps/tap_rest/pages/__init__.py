"""How the pages of a REST API are found, one after the other, and when there is no other."""
