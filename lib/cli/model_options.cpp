#include "cli/model_options.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer {
namespace {

template <class Owner>
std::string option_name(const ConfigurationField<Owner>& field) {
  if (!field.option.empty()) return field.option;
  std::string name = field.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

/// The option of a field: its kind follows the field's type, its default is that of a fresh configuration.
template <class Owner>
Option option_of(const ConfigurationField<Owner>& field, std::string name, std::string help, bool has_fallback) {
  const Attribute fallback = field.get(Owner{});
  if (!field.choices.empty()) {
    std::string choices;
    for (const std::string& c : field.choices) choices += (choices.empty() ? "" : "|") + c;
    return choice(std::move(name), choices, std::move(help), has_fallback ? std::get<std::string>(fallback) : "");
  }
  if (const bool* on = std::get_if<bool>(&fallback)) return flag(std::move(name), std::move(help), *on);
  if (std::holds_alternative<std::string>(fallback)) return text(std::move(name), "TEXT", std::move(help));
  const std::string text = has_fallback ? std::visit([](const auto& value) { return cat(value); }, fallback) : "";
  if (std::holds_alternative<double>(fallback))
    return number(std::move(name), "X", std::move(help), text, field.low, field.high);
  return integer(std::move(name), "N", std::move(help), text, field.low, field.high);
}

Attribute value_of(const Args& args, const Attribute& like, const std::string& option) {
  if (std::holds_alternative<std::string>(like)) return args.has(option) ? args.text(option) : std::string();
  if (std::holds_alternative<bool>(like)) return args.flag(option);
  if (std::holds_alternative<std::int64_t>(like)) return args.integer(option);
  if (std::holds_alternative<double>(like)) return args.number(option);
  return args.text(option);
}

/// Fields whose default is not a constant: the tokenizer's, or what another option says.
bool has_own_default(const std::string& name) {
  for (const char* own : {"source_vocabulary", "target_vocabulary", "begin_id", "end_id", "mask_id", "final_norm"})
    if (name == own) return true;
  return false;
}

bool is_stack_bias(const std::string& name) {
  return name == "attention_bias" || name == "attention_output_bias" || name == "ffn_bias";
}

/// One "NAME=VALUE" of --encoder or --decoder.
void assign_own(StackSpec& stack, const std::string& option, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) throw UsageError(cat("--", option, " '", text, "' is not NAME=VALUE"));
  const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  for (const auto& field : stack_fields()) {
    if (option_name(field) != name || field.help.empty()) continue;
    const Attribute like = field.get(stack);
    Attribute parsed = value;
    try {
      std::size_t used = value.size();
      if (std::holds_alternative<bool>(like)) {
        if (value != "yes" && value != "no") throw Error("is neither yes nor no");
        parsed = value == "yes";
      } else if (std::holds_alternative<std::int64_t>(like)) {
        parsed = std::int64_t{std::stoll(value, &used)};
      } else if (std::holds_alternative<double>(like)) {
        parsed = std::stod(value, &used);
      }
      if (used != value.size()) throw Error("is no number");
      return field.set(stack, parsed);
    } catch (const Error& error) {
      throw UsageError(cat("--", option, " ", text, ": the value ", error.what()));
    } catch (const std::logic_error&) {
      throw UsageError(cat("--", option, " ", text, ": the value is no number"));
    }
  }
  throw UsageError(cat("--", option, " ", text, ": there is no --", name));
}

}  // namespace

std::vector<Option> kind_options() {
  return {
      choice("kind", "encoder-decoder|decoder-only|encoder-only", "what the model is", "encoder-decoder"),
      choice("head", "none|tokens|classes|token-classes", "what an encoder-only model predicts", "none"),
      integer("classes", "N", "--head classes or token-classes: number of classes", "", 1),
      choice("problem-type", "single-label|multi-label|regression",
             "--head classes: one class holds, several labels may, or they are numbers", "single-label"),
      integer("input-width", "N", "an encoder-only model reads vectors of this width instead of ids", "", 1),
  };
}

Configuration kind_from(const Args& args) {
  Configuration c;
  c.kind = from_name<ModelKind>(args.text("kind"));
  if (args.given("head") && c.has_decoder()) throw UsageError("--head needs --kind encoder-only");
  if (!c.has_decoder()) c.head = from_name<Head>(args.text("head"));
  const bool classes = c.head == Head::classes || c.head == Head::token_classes;
  args.allow_only(classes, "--head classes", {"classes"});
  if (classes) c.classes = args.integer("classes");
  args.allow_only(c.head == Head::classes, "--head classes", {"problem-type"});
  c.problem_type = from_name<ProblemType>(args.text("problem-type"));
  if (args.has("input-width")) c.input_width = args.integer("input-width");
  return c;
}

namespace {

const ConfigurationField<StackSpec>& stack_field(const std::string& name) {
  for (const auto& field : stack_fields())
    if (field.name == name) return field;
  throw Error(cat("there is no hyper-parameter ", name, " of a stack"));
}

}  // namespace

std::vector<Option> stack_options(const std::vector<std::string>& fields) {
  std::vector<Option> options;
  for (const std::string& name : fields) {
    const auto& field = stack_field(name);
    options.push_back(option_of(field, option_name(field), field.help, true));
  }
  return options;
}

void set_fields(const Args& args, const std::vector<std::string>& fields, StackSpec& stack) {
  for (const std::string& name : fields) {
    const auto& field = stack_field(name);
    field.set(stack, value_of(args, field.get(stack), option_name(field)));
  }
}

std::vector<Option> configuration_options() {
  std::vector<Option> options;
  for (const auto& field : configuration_fields())
    if (!field.help.empty())
      options.push_back(option_of(field, option_name(field), field.help, !has_own_default(field.name)));
  for (const auto& field : stack_fields()) {
    if (field.name == "layers") {
      for (const std::string stack : {"encoder", "decoder"})
        options.push_back(option_of(field, stack + "-layers", field.help + " " + stack, true));
    } else if (!field.help.empty()) {
      options.push_back(option_of(field, option_name(field), field.help, !has_own_default(field.name)));
    }
  }
  options.push_back(flag("class-token", "put a learned vector before each sequence of vectors"));
  options.push_back(flag("bias", "biases in attention and feed-forward layers", true));
  options.push_back(list("encoder", "NAME=VALUE", "an option above for the encoder alone, as in heads=4"));
  options.push_back(list("decoder", "NAME=VALUE", "an option above for the decoder alone"));
  return options;
}

std::int64_t pooled_end_id(const Args& args, const Tokenizer* tokenizer) {
  if (args.has("end-id")) return args.integer("end-id");
  if (!tokenizer || tokenizer->end_id() < 0)
    throw UsageError("--pooling end needs --end-id, or a --tokenizer with an end id");
  return tokenizer->end_id();
}

namespace {

constexpr std::string_view kOwnPooling = "pooling=";

/// --pooling, or a tower's own, as in --text pooling=end.
Pooling pooling_of(const Args& args, const std::string& tower) {
  Pooling pooling = from_name<Pooling>(args.text("pooling"));
  if (tower.empty()) return pooling;
  for (const std::string& text : args.list(tower)) {
    if (!text.starts_with(kOwnPooling)) continue;
    try {
      pooling = from_name<Pooling>(text.substr(kOwnPooling.size()));
    } catch (const Error& error) {
      throw UsageError(cat("--", tower, " ", text, ": ", error.what()));
    }
  }
  return pooling;
}

}  // namespace

Configuration configuration_from(const Args& args, const Tokenizer* tokenizer, const Configuration& kind,
                                 const std::string& tower) {
  Configuration c = kind;
  args.allow_only(c.has_encoder(), "a model with an encoder", {"source-vocabulary", "encoder"});
  args.allow_only(c.has_encoder() || args.integer("encoder-layers") == 0, "a model with an encoder",
                  {"encoder-layers"});
  args.allow_only(c.has_decoder(), "a model with a decoder", {"target-vocabulary", "begin-id", "decoder"});
  const bool by_end = tower.empty()
                          ? args.text("pooling") == "end"
                          : pooling_of(args, "image") == Pooling::end || pooling_of(args, "text") == Pooling::end;
  args.allow_only(c.has_decoder() || by_end, "a model with a decoder, or --pooling end", {"end-id"});
  args.allow_only(c.has_decoder() || args.integer("decoder-layers") == 0, "a model with a decoder", {"decoder-layers"});
  args.allow_only(args.text("positions") == "learned", "--positions learned", {"max-positions"});
  args.allow_only(!c.reads_vectors() || !tower.empty(), "a model that reads ids", {"source-vocabulary"});
  args.allow_only(c.head == Head::classes || c.head == Head::none, "a model that predicts classes", {"pooling"});
  args.allow_only(c.head != Head::none, "a model that predicts something", {"output-soft-cap"});
  args.allow_only(c.reads_vectors() || !tower.empty(), "a model that reads vectors", {"class-token"});
  for (const auto& field : configuration_fields())
    if (!field.help.empty() && !has_own_default(field.name))
      field.set(c, value_of(args, field.get(c), option_name(field)));
  c.pooling = pooling_of(args, tower);
  c.class_tokens = args.flag("class-token") && c.reads_vectors() ? 1 : 0;
  c.stacks([&](StackSpec& stack) {
    stack.attention_bias = stack.attention_output_bias = stack.ffn_bias = args.flag("bias");
    for (const auto& field : stack_fields()) {
      const std::string name = option_name(field);
      if (field.name == "layers" || field.help.empty() || has_own_default(field.name)) continue;
      if (is_stack_bias(field.name) && !args.given(name)) continue;
      field.set(stack, value_of(args, field.get(stack), name));
    }
    stack.final_norm = args.given("final-norm") ? args.flag("final-norm") : stack.norm_position == NormPosition::pre;
  });
  c.encoder.layers = args.integer("encoder-layers");
  c.decoder.layers = args.integer("decoder-layers");
  for (const std::string& text : args.list("encoder")) assign_own(c.encoder, "encoder", text);
  for (const std::string& text : args.list("decoder")) assign_own(c.decoder, "decoder", text);
  if (!tower.empty())
    for (const std::string& text : args.list(tower))
      if (!text.starts_with(kOwnPooling)) assign_own(c.encoder, tower, text);
  const auto number = [&](const char* option, std::int64_t from_tokenizer) {
    if (args.has(option)) return args.integer(option);
    if (!tokenizer) throw UsageError(cat("--", option, " or --tokenizer is needed"));
    return from_tokenizer;
  };
  const std::int64_t vocabulary = tokenizer ? tokenizer->vocabulary_size() : 0;
  if (c.has_encoder() && !c.reads_vectors()) c.source_vocabulary = number("source-vocabulary", vocabulary);
  if (c.has_decoder()) {
    c.target_vocabulary = number("target-vocabulary", vocabulary);
    c.begin_id = number("begin-id", tokenizer ? tokenizer->begin_id() : 0);
    c.end_id = number("end-id", tokenizer ? tokenizer->end_id() : 0);
    if (c.begin_id != c.end_id) c.suppressed_id = c.begin_id;
  }
  if (!c.has_decoder() && !c.reads_vectors() && c.pooling == Pooling::end) c.end_id = pooled_end_id(args, tokenizer);
  if (!c.has_decoder() && c.head == Head::tokens)
    c.mask_id = number("mask-id", tokenizer ? tokenizer->named_ids().mask.value_or(tokenizer->unknown_id()) : 0);
  try {
    c.check("options");
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return c.resolved();
}

}  // namespace pipeformer
