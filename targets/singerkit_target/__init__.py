"""What targets share: the contract, the commit loop, units of commit, replay, publishing."""
