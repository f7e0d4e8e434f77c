// Who may write what in a bucket that several gateways share: docs/format/store.md.
//
//   gateways/<id>/lease       the gateway is alive; renewed under If-Match, so that whoever took
//   the
//                             gateway's identity over is found out by the one it was taken from
//   cartridges/<uuid>/owner   which gateway may write the cartridge, or that it is on the shelf,
//                             where any gateway may take it
//   barcodes/<barcode>        which cartridge has the barcode
//
// Clocks decide nothing that could lose data: every change is a conditional put, and manifests are
// put on top of the one put before. A lease tells whether its gateway may be disturbed, and keeps a
// gateway that was away for long from writing before it has looked.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/uuid.h"
#include "uploader/cloud/object_store.h"

namespace coldshelf {

std::string lease_key(const std::string& gateway);
std::string inventory_key(
    const std::string& gateway);  // what `recover` needs beside the cartridges
std::string owner_key(const Uuid& cartridge);
std::string barcode_key(const std::string& barcode);
constexpr std::string_view kGatewaysPrefix = "gateways/";
constexpr std::string_view kCartridgesPrefix = "cartridges/";
constexpr std::string_view kBarcodesPrefix = "barcodes/";

struct GatewayIdentity {
  std::string id;        // "sgw-0A1B2C3D"
  std::string name;      // for people
  std::string host;      // for people
  std::string instance;  // made once for a data directory: a rebuilt gateway has another one
};

struct Lease {
  std::string gateway, name, host, instance;
  uint64_t epoch = 0;  // counts who held it: one more at each start
  int64_t expires_unix_ms = 0;
  std::string etag;  // of the object it was read from
  bool alive(int64_t now_unix_ms) const;
};
Buffer encode_lease(const Lease& lease);
Result<Lease> decode_lease(ByteView document);

enum class OwnerState { owned, shelved, deleting };
std::string_view to_string(OwnerState state);
struct Owner {
  std::string gateway, instance;
  uint64_t epoch = 0;  // of the gateway's lease
  OwnerState state = OwnerState::owned;
  // One more each time, so that no content, and with it no ETag, comes twice: a put that a server
  // carries out late must not find its condition true again.
  uint64_t change = 0;
  std::string etag;
};
Buffer encode_owner(const Owner& owner);
Result<Owner> decode_owner(ByteView document);

struct BarcodeClaim {
  std::string barcode;
  Uuid cartridge;
  std::string gateway;  // that made it
  std::string etag;
};
Buffer encode_barcode(const BarcodeClaim& claim);
Result<BarcodeClaim> decode_barcode(ByteView document);

// An object with the etag it had when exactly this was its content.
struct Versioned {
  Buffer content;
  ObjectInfo info;
};
Result<Versioned> read_versioned(ObjectStore& store, const std::string& key,
                                 uint64_t limit = 1 * GiB);
// Every lease below gateways/, by gateway; a gateway without one has a nil lease.
Result<std::map<std::string, std::optional<Lease>>> read_leases(ObjectStore& store);

PutSource source_of(ByteView bytes);

// Thread-safe. No lock is held during a request.
class Ownership {
 public:
  struct Env {
    ObjectStore* store = nullptr;
    Clock* clock = nullptr;
  };
  struct Options {
    int64_t lease_ttl_ms = 60'000;  // renewed six times in that while
    bool take_identity = false;     // `recover`: although another instance has the lease
    // Of the last lease that this data directory had. A store that has none, or an older one, is
    // not the store it was used with: another one, none that is mounted, an old copy.
    uint64_t known_epoch = 0;
    bool adopt_store = false;  // the operator says that it is
  };
  Ownership(Env env, GatewayIdentity self, Options options);
  ~Ownership();

  // Takes the gateway's lease. conflict: another data directory has this gateway's identity, or the
  // store cannot keep gateways apart and there is another one. not_found: the store does not know
  // this gateway, which had a lease before. A store that does not answer is no error: the lease is
  // taken later, and nothing is written to the store until then.
  Status open();
  void start();  // a thread that calls tick(), until stop()
  bool tick();   // renews when that is due
  void stop();   // ends the lease, so that others need not wait for it

  // The store may be written now. unavailable: the lease ran out, try later; write_protected: the
  // gateway's identity was taken over, for good.
  Status may_write();
  // Told once when the identity is lost; on the renewing thread. Set before start().
  void on_lost(std::function<void(const Error&)> listener) { lost_listener_ = std::move(listener); }
  // Told of each new epoch, when the store has it; on the thread that took the lease. Set before
  // open().
  void on_epoch(std::function<void(uint64_t)> listener) { epoch_listener_ = std::move(listener); }
  // The lease was taken since the start: this is the store that the catalog speaks of, so that what
  // it is said to have may go from here, though the store be away now.
  bool store_known() const;
  // The lease was taken since this data directory last knew of it: a copy of an earlier time was
  // put back, the catalog was lost, or the last epoch could not be noted. What the store has of a
  // cartridge may be later than what is here.
  bool set_back() const;
  // Counts the times the lease was taken and not renewed, at the start and when it had run out:
  // what was known before must be looked at anew.
  uint64_t lapses() const;
  // Another gateway has, or had, a lease on the store: one that may have taken over a cartridge.
  Result<bool> has_company();

  bool conditional() const;  // the store honours conditions; false until it was asked
  const GatewayIdentity& self() const { return self_; }
  struct View {
    Lease lease;
    bool conditional = false;
    std::string problem;
  };
  View view() const;

  // -- barcodes. exists: another cartridge has it.
  Status claim_barcode(const std::string& barcode, const Uuid& cartridge);
  // Many, in parallel; those already made are taken back when one is refused.
  Status claim_barcodes(const std::vector<std::pair<std::string, Uuid>>& claims);
  Status forget_barcode(const std::string& barcode);  // of a cartridge that was never made
  Result<BarcodeClaim> find_barcode(const std::string& barcode);

  // -- cartridges. conflict: another gateway has it; the message names that gateway.
  Status ensure_owned(const Uuid& cartridge);  // made when nobody owns it; shelved by us is ours
  Status acquire(const Uuid& cartridge);       // from the shelf
  Status shelve(const Uuid& cartridge);        // onto it
  Status may_delete(const Uuid& cartridge);    // looks only: whether the next one would be refused
  Status begin_delete(const Uuid& cartridge);  // nobody takes it over any more
  // Of this gateway, and `deleting` although nothing was deleted: owned again. `unbegun` is asked
  // after the owner was read, so that a deletion that begins meanwhile wins.
  using Unbegun = std::function<Result<bool>()>;
  Status take_back(const Uuid& cartridge, const Unbegun& unbegun);
  // From a gateway that is not alive; `force`: alive or not. not_supported without conditions, but
  // for one that takes its own identity.
  Status take_over(const Uuid& cartridge, bool force);
  Result<std::optional<Owner>> owner_of(const Uuid& cartridge);  // asks the store
  void forget(const Uuid& cartridge);                            // what is remembered of it
  void forget_all();

 private:
  using Judge = std::function<Result<OwnerState>(const std::optional<Owner>&)>;
  // `once_more`: put even when it says so already. Of whoever changes it the last word counts, and
  // a put given up before, should a server carry it out late, must find another one before it.
  Status change_owner(const Uuid& cartridge, const Judge& judge, bool once_more = true);
  Status conflict_with(const Uuid& cartridge, const Owner& owner) const;
  bool ours(const Owner& owner) const { return owner.gateway == self_.id; }
  // Our own identity, rebuilt elsewhere since: this is the gateway that was lost.
  bool outlived_by(const Owner& owner, uint64_t epoch) const {
    return ours(owner) && owner.instance != self_.instance && owner.epoch > epoch;
  }
  Status ask_capabilities();
  Status refuse_company();
  Status take_lease(bool first);
  Status check_known(const std::optional<Lease>& found) const;
  Status check_alone(const Lease& found) const;
  void note_set_back(const Lease& found);
  Status renew();
  Status put_lease(Lease lease, const std::string& etag);
  void lose(const std::string& why);
  PutOptions when(const std::string& etag) const;  // "": it must not be there yet
  int64_t now_ms() const { return env_.clock->monotonic_ns() / 1'000'000; }

  const Env env_;
  const GatewayIdentity self_;
  const Options options_;
  std::function<void(const Error&)> lost_listener_;
  std::function<void(uint64_t)> epoch_listener_;

  mutable std::mutex mutex_;
  std::optional<StoreCapabilities> capabilities_;
  Lease lease_;
  bool held_ = false;  // since the start, or again
  bool set_back_ = false;
  uint64_t tried_epoch_ = 0;    // the latest that was put, or may have been
  int64_t valid_until_ms_ = 0;  // monotonic, counted from before the put
  int64_t next_ms_ = 0;
  std::optional<Error> lost_;
  std::string problem_;
  uint64_t lapses_ = 0;
  std::map<Uuid, Owner> owners_;  // as last seen

  std::mutex tick_mutex_;  // one renewal at a time
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace coldshelf
