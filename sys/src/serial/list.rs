use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A serial port that is there: made by [`ports`].
///
/// ```
/// use becket_sys::serial::{Port, ports};
///
/// for info in ports()? {
///     let port = Port::builder(&info.path, 115_200); // `open` it to use it
///     let usb = info.usb.as_ref().map(|usb| format!("{:04x}:{:04x}", usb.vendor, usb.product));
///     println!("{} ({:?} on {:?}, {usb:?}): {port:?}", info.name, info.driver, info.bus);
///     assert!(info.path.starts_with("/dev"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PortInfo {
    /// The kernel's name, such as `ttyUSB0`.
    pub name: String,
    /// The path to open, such as `/dev/ttyUSB0`. It is another's at the next plugging; `/dev/serial/by-id` has links
    /// that are not.
    pub path: PathBuf,
    /// The driver, such as `ftdi_sio`.
    pub driver: Option<String>,
    /// What the hardware is attached to: `usb`, `pci`, `pnp`, `platform`, `amba` and so on.
    pub bus: Option<String>,
    /// Of a port on USB, what its device says of itself.
    pub usb: Option<UsbInfo>,
}

/// What a USB device says of itself. Texts are as the device sends them.
///
/// ```
/// use becket_sys::serial::ports;
///
/// let is_ftdi = |vendor| vendor == 0x0403;
/// let ftdi = ports()?.into_iter().filter(|p| p.usb.as_ref().is_some_and(|usb| is_ftdi(usb.vendor)));
/// assert!(ftdi.map(|p| p.bus).all(|bus| bus.as_deref() == Some("usb")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UsbInfo {
    /// Who made it, by number.
    #[doc(alias = "idVendor")]
    pub vendor: u16,
    /// What it is, by the maker's number.
    #[doc(alias = "idProduct")]
    pub product: u16,
    /// Its version, as decimal digits: `0x0600` is 6.00.
    #[doc(alias = "bcdDevice")]
    pub release: u16,
    /// Its serial number. Cheap adapters have none, or all the same.
    #[doc(alias = "serial")]
    pub serial_number: Option<String>,
    /// Who made it, in words.
    pub manufacturer: Option<String>,
    /// What it is, in words.
    pub product_name: Option<String>,
    /// Which of its interfaces this port is. A device of several ports has several.
    #[doc(alias = "bInterfaceNumber")]
    pub interface: Option<u8>,
    /// What the interface is, in words.
    pub interface_name: Option<String>,
    /// Where it is plugged in, such as `1-4.2`: bus 1, the hub in port 4, port 2 there. Stays while cables do.
    pub location: String,
}

/// The serial ports of this machine, by name: what `/sys/class/tty` has with hardware behind it.
///
/// Consoles, pseudoterminals, and the numbers that the driver of PC's ports keeps for hardware that is not there are
/// left out. A port that is unplugged meanwhile may be missing. Nothing is opened, so that no line moves and no right
/// is needed.
///
/// # Errors
/// `ENOENT` where no sysfs is mounted on `/sys`.
#[doc(alias = "available_ports")]
pub fn ports() -> io::Result<Vec<PortInfo>> {
    ports_under("/sys")
}

/// As [`ports`], with sysfs mounted on, or copied to, another directory.
///
/// # Errors
/// As [`ports`].
pub fn ports_under(sysfs: impl AsRef<Path>) -> io::Result<Vec<PortInfo>> {
    let root = fs::canonicalize(sysfs)?;
    let entries = fs::read_dir(root.join("class/tty"))?;
    let mut found: Vec<PortInfo> = entries.flatten().filter_map(|entry| look(&root, &entry.path())).collect();
    found.sort_by(|a, b| in_order(&a.name).cmp(&in_order(&b.name)));
    Ok(found)
}

/// The name without its number, and that: `ttyS10` comes after `ttyS9`.
fn in_order(name: &str) -> (&str, Option<u64>) {
    let start = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (start, name[start.len()..].parse().ok())
}

fn look(root: &Path, class: &Path) -> Option<PortInfo> {
    let name = class.file_name()?.to_str()?.to_owned();
    let device = fs::canonicalize(class.join("device")).ok()?;
    // Type 0 is a port of the PC's driver that it found no chip for.
    if text(class, "type").is_some_and(|kind| kind == "0") {
        return None;
    }
    // udev and devtmpfs put slashes where the kernel's name has exclamation marks.
    let path = Path::new("/dev").join(name.replace('!', "/"));
    let mut info = PortInfo { name, path, driver: None, bus: None, usb: None };
    let mut interface = None;
    for dir in device.ancestors().take_while(|dir| dir.starts_with(root)) {
        let Some(bus) = link(dir, "subsystem") else { continue };
        // Since 6.5 the kernel puts two devices of its own between a port and its hardware.
        if bus == "serial-base" {
            continue;
        }
        info.driver = info.driver.or_else(|| link(dir, "driver"));
        if bus == "usb-serial" {
            continue;
        }
        info.bus.get_or_insert_with(|| bus.clone());
        if bus != "usb" {
            break;
        }
        match hex(dir, "bInterfaceNumber") {
            Some(number) => interface = Some((u8::try_from(number).ok(), text(dir, "interface"))),
            None => {
                info.usb = usb(dir, interface.take().unwrap_or_default());
                break;
            }
        }
    }
    Some(info)
}

fn usb(dir: &Path, (interface, interface_name): (Option<u8>, Option<String>)) -> Option<UsbInfo> {
    Some(UsbInfo {
        vendor: hex(dir, "idVendor")?,
        product: hex(dir, "idProduct")?,
        release: hex(dir, "bcdDevice").unwrap_or(0),
        serial_number: text(dir, "serial"),
        manufacturer: text(dir, "manufacturer"),
        product_name: text(dir, "product"),
        interface,
        interface_name,
        location: dir.file_name()?.to_str()?.to_owned(),
    })
}

fn text(dir: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(dir.join(name)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}

fn hex(dir: &Path, name: &str) -> Option<u16> {
    u16::from_str_radix(text(dir, name)?.trim(), 16).ok()
}

/// The last part of what a link points to.
fn link(dir: &Path, name: &str) -> Option<String> {
    Some(fs::read_link(dir.join(name)).ok()?.file_name()?.to_str()?.to_owned())
}
