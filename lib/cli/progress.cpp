#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "cli/options.hpp"

namespace pipeformer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

/// "0:09", "12:34", "1:02:03".
std::string duration_text(double seconds) {
  const long s = seconds < 3.6e8 ? std::lround(seconds) : 360000000L;
  return s < 3600 ? format("%ld:%02ld", s / 60, s % 60) : format("%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/// Three figures or a whole number: "0.25", "8.1", "512".
std::string rate_text(double rate) {
  return format(rate < 1 ? "%.2f" : rate < 10 ? "%.1f" : "%.0f", rate);
}

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

/// The beginning of UTF-8 text, at most `width` characters.
std::string clip(const std::string& text, std::size_t width) {
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 && ++characters > width) return text.substr(0, i);
  }
  return text;
}

}  // namespace

struct Progress::State {
  std::mutex mutex;
  std::string tool, what, unit;
  std::int64_t total = 0;
  bool quiet = false, verbose = false, bar = false;
  bool drawn = false, finished = false;
  Clock::time_point start = Clock::now(), last = start;
  // The rate is that since the first report, so that a resumed run does not count what was done before.
  bool begun = false;
  std::int64_t first = 0, done = 0;
  Clock::time_point first_time = start;

  double rate(Clock::time_point now) const {
    const double seconds = seconds_between(first_time, now);
    return seconds > 0 ? static_cast<double>(done - first) / seconds : 0;
  }

  std::string counts(Clock::time_point now) const {
    std::string text = total > 0 ? cat(done, "/", total, " ", unit) : cat(done, " ", unit);
    const double r = rate(now);
    if (r > 0) text += ", " + rate_text(r) + "/s";
    if (r > 0 && total > done) return text + ", " + duration_text(static_cast<double>(total - done) / r) + " left";
    return text + ", " + duration_text(seconds_between(start, now));
  }

  std::string percent() const {
    return format("%3d%%", static_cast<int>(100 * static_cast<double>(std::clamp<std::int64_t>(done, 0, total)) /
                                            static_cast<double>(total)));
  }

  std::string head() const { return what.empty() ? tool : tool + ": " + what; }

  void draw(Clock::time_point now, const std::string& note) {
    const std::string head = this->head();
    const std::string tail = counts(now) + (note.empty() ? "" : ", " + cli::one_line(note));
    if (!bar) return cli::write_error(head + ": " + (total > 0 ? percent() + ", " : "") + tail + "\n");
    // The last column stays free: writing there makes some terminals wrap.
    const std::size_t width = terminal_width() - 1;
    std::string line = head + " ";
    if (total > 0) {
      const std::size_t used = head.size() + tail.size() + 9;
      if (const std::size_t cells = used < width ? std::min<std::size_t>(width - used, 40) : 0; cells >= 8) {
        const auto full = static_cast<std::size_t>(static_cast<double>(cells) *
                                                   static_cast<double>(std::clamp<std::int64_t>(done, 0, total)) /
                                                   static_cast<double>(total));
        line += "[" + std::string(full, '#') + std::string(cells - full, '.') + "]";
      }
      line += percent() + " ";
    }
    cli::write_error("\r" + clip(line + tail, width) + "\033[K");
    drawn = true;
  }

  void erase() {
    if (drawn) cli::write_error("\r\033[K");
    drawn = false;
  }
};

Progress::Progress(const Args& args, std::string what, std::int64_t total, std::string unit)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.tool = args.tool();
  s.what = cli::one_line(what);
  s.unit = std::move(unit);
  s.total = total;
  s.quiet = args.quiet();
  s.verbose = args.verbose();
  // There is no colour, so NO_COLOR has nothing to switch off; a dumb terminal cannot redraw a line.
  const char* terminal = std::getenv("TERM");
  s.bar = ::isatty(STDERR_FILENO) && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

Progress::~Progress() {
  std::lock_guard lock(state_->mutex);
  state_->erase();
}

void Progress::update(std::int64_t done, const std::string& note) {
  State& s = *state_;
  if (s.quiet && !s.verbose) return;
  std::lock_guard lock(s.mutex);
  const auto now = Clock::now();
  s.done = done;
  if (!s.begun) {
    s.begun = true;
    s.first = done;
    s.first_time = now;
  }
  if (s.quiet || s.finished || seconds_between(s.last, now) < (s.bar ? 0.1 : 10.0)) return;
  s.last = now;
  s.draw(now, note);
}

void Progress::finish(const std::string& summary) {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  s.erase();
  if (s.verbose && !s.finished) {
    const double seconds = seconds_between(s.start, Clock::now());
    const std::string counted = cat(s.done, " ", s.unit, format(", %.1f s", seconds));
    cli::write_error((summary.empty() ? s.head() + ": " + counted : s.tool + ": " + cli::one_line(summary)) + "\n");
  }
  s.finished = true;
}

void Progress::line(const std::string& text) {
  State& s = *state_;
  if (s.quiet) return;
  std::lock_guard lock(s.mutex);
  s.erase();
  cli::write_error(s.tool + ": " + cli::one_line(text) + "\n");
}

}  // namespace pipeformer
