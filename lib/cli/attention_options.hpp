/// What the tools that attend share: causal order, masks, biases, lengths.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/mask_streams.hpp"
#include "cli/tool.hpp"

namespace pipeformer {

std::string mask_description();      ///< A paragraph of help.
std::vector<Option> mask_options();  ///< --causal, --mask, --bias, --lengths
MaskStreams mask_streams(const Args&);

/// An output for attention weights: records that differ in every axis are welcome, in HDF5 too.
std::unique_ptr<RecordWriter> open_weights(const std::string& address);

}  // namespace pipeformer
