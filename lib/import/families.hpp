/// The functions that fill an Import, one for each family, each in a file of its own.
#pragma once
#include "import/family.hpp"

namespace pipeformer::import {

void gpt2(Import&);
void gpt_neox(Import&);
void opt(Import&);
void llama(Import&);  ///< Llama, Mistral, Qwen2, Qwen3, Gemma.
void bert(Import&);
void roberta(Import&);  ///< RoBERTa, XLM-R, CamemBERT.
void distilbert(Import&);
void electra(Import&);
void bart(Import&);  ///< BART, mBART, Marian, M2M100 (NLLB).
void t5(Import&);
void vit(Import&);  ///< ViT, DeiT.
void dinov2(Import&);
void clip_text(Import&);
void clip_image(Import&);

}  // namespace pipeformer::import
