"""The settings of tap-rest by section of the config.

api.py          the API as a whole: where it is, who may be asked, what every request carries
"""
