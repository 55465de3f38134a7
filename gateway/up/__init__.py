"""``wafleet up``: starts the processes that are not given by address, watches them, and ends every one of them."""
