#include "cli/attention_options.hpp"

#include "cli/layer_options.hpp"

namespace pipeformer {

std::string mask_description() {
  return "--causal aligns the last query with the last key: query i of Tq sees key j of Tk when j <= i + Tk - Tq. "
         "--mask holds booleans, "
         "1 = may attend; --bias is added to the scaled scores. Both have one record for each record of queries, or "
         "one for all; a "
         "record is (Tq, Tk), or has leading axes that broadcast as NumPy's do. --lengths says for dense batches (B, "
         "Tk, D) how many "
         "keys each sequence has: integers (B,). A query that may attend to nothing gives zeros.";
}

std::vector<Option> mask_options() {
  return {flag("causal", "no query sees a later key; the last query is aligned with the last key"),
          text("mask", "FILE", "booleans, 1 = may attend"),
          text("bias", "FILE", "numbers that are added to the scaled scores"),
          text("lengths", "FILE", "integers: keys that exist, of each sequence of a dense batch")};
}

MaskStreams mask_streams(const Args& args) {
  return MaskStreams(optional_text(args, "mask"), optional_text(args, "bias"), optional_text(args, "lengths"));
}

std::unique_ptr<RecordWriter> open_weights(const std::string& address) {
  OutputOptions options;
  options.any_shape = true;
  return RecordWriter::open(address, options);
}

}  // namespace pipeformer
