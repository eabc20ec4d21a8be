/// The functions that fill an Exchange, one for each family, each in a file of its own.
#pragma once
#include "import/family.hpp"

namespace pipeformer::import {

void gpt2(Exchange&);
void gpt_neox(Exchange&);
void opt(Exchange&);
void gpt_neo(Exchange&);
void phi(Exchange&);
void llama(Exchange&);  ///< Llama, Mistral, Qwen2, Qwen3, Gemma 1 to 3, Phi-3.
void bert(Exchange&);
void roberta(Exchange&);  ///< RoBERTa, XLM-R, CamemBERT.
void distilbert(Exchange&);
void electra(Exchange&);
void bart(Exchange&);  ///< BART, mBART, Marian, M2M100 (NLLB).
void t5(Exchange&);
void vit(Exchange&);  ///< ViT, DeiT.
void dinov2(Exchange&);
void clip_text(Exchange&);
void clip_image(Exchange&);

}  // namespace pipeformer::import
