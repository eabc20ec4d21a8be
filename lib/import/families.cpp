#include "import/families.hpp"

namespace pipeformer {

const std::vector<Family>& families() {
  using namespace import;
  const auto bert_heads = [](const std::string& name) {
    return std::vector<std::string>{name + "Model", name + "ForMaskedLM", name + "ForSequenceClassification",
                                    name + "ForTokenClassification", name + "ForQuestionAnswering"};
  };
  const auto with = [](std::vector<std::string> all, const std::string& one) {
    all.push_back(one);
    return all;
  };
  static const std::vector<Family> all{
      {"gpt2", {"GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification"}, {{"", gpt2}}},
      {"gpt_neox", {"GPTNeoXForCausalLM", "GPTNeoXModel"}, {{"", gpt_neox}}},
      {"opt", {"OPTForCausalLM", "OPTModel"}, {{"", opt}}},
      {"llama", {"LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification"}, {{"", llama}}},
      {"mistral", {"MistralForCausalLM", "MistralModel", "MistralForSequenceClassification"}, {{"", llama}}},
      {"qwen2", {"Qwen2ForCausalLM", "Qwen2Model", "Qwen2ForSequenceClassification"}, {{"", llama}}},
      {"qwen3", {"Qwen3ForCausalLM", "Qwen3Model", "Qwen3ForSequenceClassification"}, {{"", llama}}},
      {"gemma", {"GemmaForCausalLM", "GemmaModel", "GemmaForSequenceClassification"}, {{"", llama}}},
      {"gemma2", {"Gemma2ForCausalLM", "Gemma2Model"}, {{"", llama}}},
      {"gemma3_text", {"Gemma3ForCausalLM", "Gemma3TextModel"}, {{"", llama}}},
      {"phi3", {"Phi3ForCausalLM", "Phi3Model", "Phi3ForSequenceClassification"}, {{"", llama}}},
      {"phi", {"PhiForCausalLM", "PhiModel"}, {{"", phi}}},
      {"gpt_neo", {"GPTNeoForCausalLM", "GPTNeoModel"}, {{"", gpt_neo}}},
      {"bert", with(bert_heads("Bert"), "BertForPreTraining"), {{"", bert}}},
      {"roberta", bert_heads("Roberta"), {{"", roberta}}},
      {"xlm-roberta", bert_heads("XLMRoberta"), {{"", roberta}}},
      {"camembert", bert_heads("Camembert"), {{"", roberta}}},
      {"distilbert", bert_heads("DistilBert"), {{"", distilbert}}},
      {"electra", with(bert_heads("Electra"), "ElectraForPreTraining"), {{"", electra}}},
      {"bart", {"BartForConditionalGeneration", "BartModel"}, {{"", bart}}},
      {"mbart", {"MBartForConditionalGeneration", "MBartModel"}, {{"", bart}}},
      {"marian", {"MarianMTModel", "MarianModel"}, {{"", bart}}},
      {"m2m_100", {"M2M100ForConditionalGeneration", "M2M100Model"}, {{"", bart}}},
      {"t5", {"T5ForConditionalGeneration", "T5WithLMHeadModel", "T5EncoderModel"}, {{"", t5}}},
      {"mt5", {"MT5ForConditionalGeneration", "MT5EncoderModel"}, {{"", t5}}},
      {"vit", {"ViTModel", "ViTForImageClassification"}, {{"", vit}}},
      {"deit", {"DeiTModel", "DeiTForImageClassification", "DeiTForImageClassificationWithTeacher"}, {{"", vit}}},
      {"dinov2", {"Dinov2Model", "Dinov2ForImageClassification"}, {{"", dinov2}}},
      {"clip", {"CLIPModel"}, {{"text", clip_text, "clip_text_model"}, {"image", clip_image, "clip_vision_model"}}},
      {"clip_text_model", {"CLIPTextModel", "CLIPTextModelWithProjection"}, {{"", clip_text}}},
      {"clip_vision_model", {"CLIPVisionModel", "CLIPVisionModelWithProjection"}, {{"", clip_image}}},
  };
  return all;
}

}  // namespace pipeformer
