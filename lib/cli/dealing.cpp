#include "cli/dealing.hpp"

#include "core/error.hpp"
#include "io/packing.hpp"

namespace pipeformer {
namespace {

// Channels of messages: to the first rank when a rank is ready; work for a rank; from kReply on what came of it.
constexpr int kReady = 0, kWork = 1, kReply = 2;

void send_failure(Communicator& ranks, int channel, const std::string& message) {
  Packer packer;
  packer.put(false);
  packer.put_text(message);
  ranks.send(0, channel, packer.bytes());
}

}  // namespace

Dealer::Dealer(Communicator& ranks)
    : ranks_(ranks), sending_(static_cast<std::size_t>(ranks.size())), at_a_time_(sending_.size(), 0) {
  ranks.start();
  std::string failure;
  for (int rank = 1; rank < ranks.size(); ++rank) {
    const auto message = ranks.receive(rank, kReady);
    Unpacker from(message);
    if (!from.get<bool>()) {
      if (failure.empty()) failure = from.get_text();
      continue;
    }
    const int count = at_a_time_[static_cast<std::size_t>(rank)] = from.get<int>();
    for (int channel = 0; channel <= count; ++channel) places_.push_back({rank, kReply + channel});
  }
  if (failure.empty()) return;
  finish();
  throw Error(failure);
}

std::vector<std::byte> Dealer::compute(const Place& place, const BatchTurn& turn,
                                       const std::vector<BatchStream*>& streams) {
  Packer packer;
  packer.put(place.channel);
  packer.put(turn.first_sequence);
  for (const BatchStream* stream : streams) pack(packer, stream->batch);
  packer.put(turn.phrases.size());
  for (const auto& phrases : turn.phrases) pack(packer, phrases);
  {
    const std::lock_guard lock(sending_[static_cast<std::size_t>(place.rank)]);
    ranks_.send(place.rank, kWork, packer.bytes());
  }
  std::vector<std::byte> reply = ranks_.receive(place.rank, place.channel);
  Unpacker from(reply);
  if (!from.get<bool>()) throw Error(from.get_text());
  reply.erase(reply.begin(), reply.begin() + sizeof(bool));
  return reply;
}

void Dealer::finish() {
  for (int rank = 1; rank < ranks_.size(); ++rank)
    for (int i = 0; i < at_a_time_[static_cast<std::size_t>(rank)]; ++i) ranks_.send(rank, kWork, {});
}

DealtWork::DealtWork(Communicator& ranks, int at_a_time) : ranks_(ranks) {
  Packer packer;
  packer.put(true);
  packer.put(at_a_time);
  ranks.send(0, kReady, packer.bytes());
}

std::optional<int> DealtWork::next(BatchTurn& turn, const std::vector<BatchStream*>& streams) {
  const std::lock_guard lock(receiving_);
  const auto message = ranks_.receive(0, kWork);
  if (message.empty()) return std::nullopt;
  Unpacker from(message);
  const int channel = from.get<int>();
  turn.first_sequence = from.get<std::int64_t>();
  for (BatchStream* stream : streams) unpack(from, stream->batch);
  turn.phrases.resize(from.get<std::size_t>());
  for (auto& phrases : turn.phrases) unpack(from, phrases);
  return channel;
}

void DealtWork::reply(int channel, const std::function<std::vector<std::byte>()>& compute) {
  try {
    const auto written = compute();
    Packer packer;
    packer.put(true);
    packer.put_bytes(written);
    ranks_.send(0, channel, packer.bytes());
  } catch (const std::exception& error) {
    send_failure(ranks_, channel, error.what());
  }
}

void report_not_ready(Communicator& ranks, const std::string& message) {
  send_failure(ranks, kReady, message);
}

}  // namespace pipeformer
