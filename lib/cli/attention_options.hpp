/// Options of the tools that attend: heads, positions, causal order, masks, biases, lengths.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/attend.hpp"
#include "cli/mask_streams.hpp"
#include "cli/tool.hpp"
#include "layers/parameter.hpp"

namespace pipeformer {

/// What attend takes from a model or from options: heads, scale, positions and window.
std::vector<Option> attention_options();
/// Heads, scale, positions, window and causal order: those of -m FILE:GROUP, else what the options say. The parameters
/// of positions are in `file` afterwards. Throws UsageError for an option that the model gives.
AttendOptions attend_options(const Args&, std::unique_ptr<StoredParameters>& file);

std::string mask_description();      ///< A paragraph of help.
std::vector<Option> mask_options();  ///< --causal, --mask, --bias, --lengths
MaskStreams mask_streams(const Args&);

/// An output for attention weights: records that differ in every axis are welcome, in HDF5 too.
std::unique_ptr<RecordWriter> open_weights(const std::string& address);

}  // namespace pipeformer
