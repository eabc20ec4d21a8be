# A language model of any text, as a Makefile: a tokenizer, a decoder trained on windows of the running text, its perplexity, a sample.
#
#   make -f scripts/language-model.mk TEXT=train.txt VALID=valid.txt OUT=build/lm
#
# TYPE is the tokenizer's: bpe, unigram, char or byte. Another choice of variables needs another OUT. The tools are looked up in PATH.
.DELETE_ON_ERROR:
SHELL := /bin/bash -o pipefail

$(foreach name,TEXT VALID,$(if $($(name)),,$(error $(name) is not set; the first lines of this file say what to give)))

OUT ?= build/language-model
TYPE ?= bpe
VOCABULARY ?= 8000
CONTEXT ?= 256
PROMPT ?= The
MODEL ?= --width 256 --heads 4 --inner 1024 --decoder-layers 4 --norm-position pre --activation gelu --positions rotary
TRAIN ?= --optimizer adamw --learning-rate 0.001 --schedule cosine --warmup 100 --steps 3000 --clip-norm 1 --dropout 0.1 --validate-every 200
SAMPLE ?= --temperature 0.8 --max-length 100

.PHONY: all perplexity sample
all: perplexity sample

$(OUT):
	mkdir -p $@

$(OUT)/tok.model: $(TEXT) | $(OUT)
	tokenize --train --type $(TYPE) $(if $(filter bpe unigram,$(TYPE)),--vocab-size $(VOCABULARY)) -o $@ $(TEXT)

$(OUT)/train.npy: $(TEXT) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model --document $(TEXT) -o $@
$(OUT)/valid.npy: $(VALID) $(OUT)/tok.model
	tokenize -m $(OUT)/tok.model --document $(VALID) -o $@

# The text is one record, line ends and all, and nothing ends it (--end-id -1): a sample is as long as --max-length says.
# An interrupted make goes on where it was. The model gets its name when the training is done; then new data begin anew.
$(OUT)/model.h5: $(OUT)/train.npy $(OUT)/valid.npy
	train --task language-model --target $(OUT)/train.npy --valid-target $(OUT)/valid.npy --context $(CONTEXT) --end-id -1 \
	  --tokenizer $(OUT)/tok.model $(MODEL) $(TRAIN) --resume --log $(OUT)/train.tsv -o $(OUT)/best.h5
	rm -f $(OUT)/best.h5.checkpoint.h5
	mv $(OUT)/best.h5 $@

perplexity: $(OUT)/model.h5
	@awk -F'\t' 'NR > 1 && $$6 != "" && (best == "" || $$6 < best) { best = $$6 } END { print "perplexity", best }' $(OUT)/train.tsv

sample: $(OUT)/model.h5
	@printf '%s' "$(PROMPT)" | tokenize -m $< --document | decode -m $< --sample $(SAMPLE) | tokenize -m $< --decode --document
	@echo
