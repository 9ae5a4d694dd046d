#include "ritz/base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace ritz {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// The number in a one-number file; "max", a missing file and nonsense are unlimited.
int64_t number_in(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value && value >= 0 ? value : kUnlimited;
}

/// The value of `key` in a file of "key value" lines; 0 where it is missing.
int64_t value_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t value = 0;
    if (word == key && file >> value) return value;
  }
  return 0;
}

/// What one control group leaves; its inactive page cache would be given back.
int64_t group_room(const std::string& folder, const char* limit, const char* used,
                   const char* cache) {
  const int64_t most = number_in(folder + limit), now = number_in(folder + used);
  if (most == kUnlimited || now == kUnlimited) return kUnlimited;
  return std::max<int64_t>(0, most - now + value_of(folder + "/memory.stat", cache));
}

}  // namespace

int64_t available_memory() {
  int64_t room = value_of("/proc/meminfo", "MemAvailable:") * 1024;
  if (room == 0) room = int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  // "0::/a/b" names the group of version 2, "5:memory:/a/b" that of version 1; every group above
  // counts too.
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string kind = line.substr(first + 1, second - first - 1);
    if (!kind.empty() && kind != "memory") continue;
    std::string group = line.substr(second + 1);
    while (true) {
      room = std::min(
          room, kind.empty() ? group_room("/sys/fs/cgroup" + group, "/memory.max",
                                          "/memory.current", "inactive_file")
                             : group_room("/sys/fs/cgroup/memory" + group, "/memory.limit_in_bytes",
                                          "/memory.usage_in_bytes", "total_inactive_file"));
      const size_t slash = group.rfind('/');
      if (slash == std::string::npos) break;
      group.resize(slash);
    }
  }
  return room;
}

}  // namespace ritz
