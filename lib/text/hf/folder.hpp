/// Directories with tokenizer files, as Hugging Face models have them.
#pragma once
#include <string>

namespace pipeformer::hf {

/// One tokenizer.json for the directory: the file of this name; or made of what older layouts have instead: vocab.txt
/// (BERT); vocab.json and merges.txt (GPT-2, RoBERTa, BART, CLIP); a SentencePiece model as spiece.model (T5),
/// tokenizer.model (Llama, Gemma) or sentencepiece.bpe.model (XLM-R, mBART, NLLB; with vocab.json M2M100); source.spm
/// and vocab.json (Marian). Control ids are as tokenizer_config.json and special_tokens_map.json say. Throws Error
/// naming the directory when it has none of them, or a layout of an unknown kind.
std::string tokenizer_json_of_folder(const std::string& path);

/// The same of Marian's directory with the pieces of target.spm: for the texts of the other side.
std::string marian_target_json(const std::string& path);

}  // namespace pipeformer::hf
