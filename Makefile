# Everything happens in bootstrap.py, so that a machine without make does the same with `python bootstrap.py demo`.
# Arguments pass through: make demo ARGS="--short", make test ARGS="tests/test_cli.py -x".
PYTHON ?= python3
ARGS ?=

.PHONY: demo test test-slow full-size real lint docs setup

demo test test-slow full-size real lint docs setup:
	@$(PYTHON) bootstrap.py $@ $(ARGS)
