# The targets of proof; the Makefile includes them.
PROOF := PYTHONPATH=src:tools $(PYTHON)
# Of the seeds whose first 60 streams have every fault, one with little waiting.
CHAOS := --streams 60 --seed 2233

.PHONY: prove proof chaos deletions bench

##@ Prove

# The model and the chaos run beside each other. ARGS is for prove-tests.
prove: .venv/.installed .dynamodb-local/.installed ## Prove everything else; prove-tests and all targets below but bench
	@model_log=$$(mktemp); \
	nice -n 19 $(MAKE) --no-print-directory proof ARGS= >$$model_log 2>&1 & model=$$!; \
	$(MAKE) --no-print-directory chaos ARGS="$(CHAOS)"; chaos=$$?; \
	wait $$model; model=$$?; cat $$model_log; rm $$model_log; \
	exit $$((chaos | model))
	@$(MAKE) --no-print-directory prove-tests
	@$(MAKE) --no-print-directory deletions ARGS=

proof: .venv/.installed ## Check the model of the log, and what breaks without which rule (spin, gcc)
	@$(PYTHON) -m proof.model $(ARGS)

chaos: .venv/.installed .dynamodb-local/.installed ## Break everything while streams are read, and judge each
	@$(PROOF) -m proof.chaos $(ARGS)

deletions: .venv/.installed ## Delete each optional part in a copy, and check and test the copy
	@$(PYTHON) -m proof.deletions $(ARGS)

bench: .venv/.installed ## Measure speed, as ratios within one run
	@$(PROOF) -m proof.bench $(ARGS)
