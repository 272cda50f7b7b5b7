"""How LAVIS comes to know us: `hook` (start-up), `compatibility` (before LAVIS runs), `registration` (after it)."""
