"""Keep what must survive a crash: the ledger of orders and the timers; SQL alone, nothing of SIPS or of queues."""
