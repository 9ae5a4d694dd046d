#pragma once
// Starts this very test program again as ranks of a group, each running one disabled test.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ritz::test {

using Environment = std::map<std::string, std::string>;

/// A TCP port that was free a moment ago.
inline int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  int port = 0;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

inline std::string this_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

/// Runs `arguments` with these variables added (an empty value unsets); returns its process id.
inline pid_t start(const std::vector<std::string>& arguments, const Environment& environment) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  for (const auto& [name, value] : environment) {
    value.empty() ? unsetenv(name.c_str()) : setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

/// Exit status, or 128 + signal.
inline int finish(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline std::vector<std::string> child_arguments(const std::string& test) {
  return {this_program(), "--gtest_also_run_disabled_tests", "--gtest_brief=1",
          "--gtest_filter=" + test};
}

/// Starts `world` ranks of the disabled test `test` as torchrun would; returns their process ids.
inline std::vector<pid_t> start_ranks(int world, const std::string& test,
                                      Environment environment = {}) {
  environment["WORLD_SIZE"] = std::to_string(world);
  environment["MASTER_ADDR"] = "127.0.0.1";
  environment["MASTER_PORT"] = std::to_string(free_port());
  environment.emplace("OMP_NUM_THREADS", "1");
  std::vector<pid_t> pids;
  for (int rank = 0; rank < world; ++rank) {
    environment["RANK"] = std::to_string(rank);
    pids.push_back(start(child_arguments(test), environment));
  }
  return pids;
}

}  // namespace ritz::test
