"""How LAVIS comes to know us: `hook` (start-up), `compatibility` (before LAVIS runs), `registration` (after it).

Faces of our parts, by LAVIS's names: `model` (with `question_answering`), `processors`, `builders`, `task`,
`schedules`, `runner` (with `runner_parts`) and `run_config` (resolved by `resolving`). `registry` asks LAVIS for a
class by name, `benchmark` evaluates the paper's data sets.
"""
