/// Batches that are dealt to other ranks, as messages: what is sent and what comes back.
#pragma once
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "cli/batch_loop.hpp"
#include "train/communicator.hpp"

namespace pipeformer {

/// The first rank's side.
class Dealer {
 public:
  /// Where one batch can be on its way, to be computed: a rank has one place more than it computes batches at a time,
  /// so that the next one is there when it has done one.
  struct Place {
    int rank, channel;
  };
  /// Lets the others begin, and waits until they are ready. Throws Error with what the first of them says that cannot
  /// be; the others are let go.
  explicit Dealer(Communicator&);
  const std::vector<Place>& places() const { return places_; }
  /// Sends the batch of `streams` and its phrases; returns what its output wrote (write_relayed()). Throws Error with
  /// what the rank says.
  std::vector<std::byte> compute(const Place&, const BatchTurn&, const std::vector<BatchStream*>& streams);
  /// There is no more work.
  void finish();

 private:
  Communicator& ranks_;
  std::vector<std::mutex> sending_;  ///< [rank] Work for it, from one place at a time.
  std::vector<int> at_a_time_;       ///< [rank] Batches; of the first rank, and of one that failed, 0.
  std::vector<Place> places_;
};

/// Another rank's side.
class DealtWork {
 public:
  /// at_a_time: how many threads will call next().
  DealtWork(Communicator&, int at_a_time);
  /// Waits for a batch; fills `streams`, first_sequence and phrases. Nothing: there is no more. Else where it belongs.
  std::optional<int> next(BatchTurn&, const std::vector<BatchStream*>& streams);
  /// Sends what `compute` gives, or the message of what it throws.
  void reply(int channel, const std::function<std::vector<std::byte>()>& compute);

 private:
  Communicator& ranks_;
  std::mutex receiving_;
};

/// On another rank, when it could not begin: tells the first one why.
void report_not_ready(Communicator&, const std::string& message);

}  // namespace pipeformer
