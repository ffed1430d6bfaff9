"""What an answer says beside its rows: that it failed, that it is a part, when to ask again, where the next run begins."""
