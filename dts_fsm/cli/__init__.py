"""The command ``dts-fsm``: every part of it speaks to an ``Orchestrator``, and decides nothing by itself."""
