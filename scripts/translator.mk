# A translator from any two text files, as a Makefile:
#
#   make -f scripts/translator.mk SRC=train.en TGT=train.de VALID_SRC=val.en VALID_TGT=val.de TEST_SRC=test.en TEST_TGT=test.de OUT=build/en-de
#
# Every stage is one rule and one file; change a file and make runs what depends on it. Another choice of variables needs another OUT.
# The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

scripts := $(dir $(lastword $(MAKEFILE_LIST)))

$(foreach name,SRC TGT VALID_SRC VALID_TGT TEST_SRC TEST_TGT,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/translator
VOCABULARY ?= 8000
BEAM ?= 5
TOKENIZE_SCORE ?= 13a
MODEL ?= --width 256 --heads 4 --inner 1024 --encoder-layers 3 --decoder-layers 3
TRAIN ?= --learning-rate 0.002 --warmup 2000 --dropout 0.2 --batch-tokens 4096 --epochs 20 --patience 5

.PHONY: all score curves
all: score

$(OUT):
	mkdir -p $@

$(OUT)/tok.model: $(SRC) $(TGT) | $(OUT)
	tokenize --train --type bpe --vocab-size $(VOCABULARY) -o $@ $(SRC) $(TGT)

$(OUT)/train.src.npy: $(SRC) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $(SRC) -o $@
$(OUT)/train.tgt.npy: $(TGT) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $(TGT) -o $@
$(OUT)/valid.src.npy: $(VALID_SRC) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $(VALID_SRC) -o $@
$(OUT)/valid.tgt.npy: $(VALID_TGT) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model $(VALID_TGT) -o $@

# --resume: an interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.src.npy $(OUT)/train.tgt.npy $(OUT)/valid.src.npy $(OUT)/valid.tgt.npy
	train --source $(OUT)/train.src.npy --target $(OUT)/train.tgt.npy --valid-source $(OUT)/valid.src.npy --valid-target $(OUT)/valid.tgt.npy \
	  --tokenizer $(OUT)/tok.model $(MODEL) $(TRAIN) --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

$(OUT)/test.hyp: $(TEST_SRC) $(OUT)/model.h5
	tokenize -m $(OUT)/model.h5 $< | decode -m $(OUT)/model.h5 --beam $(BEAM) | tokenize -m $(OUT)/model.h5 --decode > $@

score: $(OUT)/test.hyp
	score --tokenize $(TOKENIZE_SCORE) --reference $(TEST_TGT) $<

curves: $(OUT)/model.h5
	$(scripts)plot-training $(OUT)/train.tsv $(OUT)/train
