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
  // A decoder, and the encoders of its layers: classifiers of sequences and of positions.
  const auto causal = [](const std::string& name) {
    return std::vector<std::string>{name + "ForCausalLM", name + "Model", name + "ForSequenceClassification",
                                    name + "ForTokenClassification"};
  };
  static const std::vector<Family> all{
      {"gpt2",
       {"GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification", "GPT2ForTokenClassification",
        "GPT2ForQuestionAnswering"},
       {{"", gpt2}}},
      {"gpt_neox", with(causal("GPTNeoX"), "GPTNeoXForQuestionAnswering"), {{"", gpt_neox}}},
      {"opt", {"OPTForCausalLM", "OPTModel", "OPTForSequenceClassification", "OPTForQuestionAnswering"}, {{"", opt}}},
      {"llama", causal("Llama"), {{"", llama}}},
      {"mistral", causal("Mistral"), {{"", llama}}},
      {"qwen2", causal("Qwen2"), {{"", llama}}},
      {"qwen3", causal("Qwen3"), {{"", llama}}},
      {"gemma", causal("Gemma"), {{"", llama}}},
      {"gemma2", causal("Gemma2"), {{"", llama}}},
      {"gemma3_text", {"Gemma3ForCausalLM", "Gemma3TextModel", "Gemma3TextForSequenceClassification"}, {{"", llama}}},
      {"phi3", causal("Phi3"), {{"", llama}}},
      {"phi", causal("Phi"), {{"", phi}}},
      {"gpt_neo", with(causal("GPTNeo"), "GPTNeoForQuestionAnswering"), {{"", gpt_neo}}},
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
