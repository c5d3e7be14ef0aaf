use super::refused::{refused, same};
use rustix::io::retry_on_intr;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, SpecialCodeIndex, Termios, speed, tcgetattr, tcsetattr,
};
use std::fmt::{self, Display};
use std::io;
use std::os::fd::BorrowedFd;

/// How a serial line is spoken: termios(3). Prints as `115200 8N1`.
///
/// ```
/// use becket_sys::serial::{Parity, Settings, StopBits};
///
/// let modbus = Settings { parity: Parity::Even, ..Settings::new(19_200) };
/// assert_eq!(modbus.to_string(), "19200 8E1");
/// assert_eq!(Settings { stop_bits: StopBits::Two, ..Settings::new(9600) }.to_string(), "9600 8N2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "termios")]
pub struct Settings {
    /// Bits a second, in both directions; any number that the hardware can do, not only the customary ones.
    pub baud: u32,
    /// Bits in a character.
    pub data_bits: DataBits,
    /// The check bit.
    pub parity: Parity,
    /// How long the line rests between characters.
    pub stop_bits: StopBits,
    /// How a receiver stops a sender.
    pub flow_control: FlowControl,
}

impl Settings {
    /// 8 data bits, no parity, 1 stop bit, no flow control.
    pub fn new(baud: u32) -> Settings {
        Settings {
            baud,
            data_bits: DataBits::Eight,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow_control: FlowControl::None,
        }
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = match self.flow_control {
            FlowControl::None => "",
            FlowControl::Software => " xon/xoff",
            FlowControl::Hardware => " rts/cts",
        };
        write!(f, "{} {}{}{}{flow}", self.baud, self.data_bits, self.parity, self.stop_bits)
    }
}

/// Gives a setting the letter or digit that it has in `8N1`.
macro_rules! setting {
    ($name:ident: $($variant:ident = $short:literal),+) => {
        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $short),+
                })
            }
        }
    };
}

setting!(DataBits: Five = "5", Six = "6", Seven = "7", Eight = "8");
setting!(Parity: None = "N", Odd = "O", Even = "E", Mark = "M", Space = "S");
setting!(StopBits: One = "1", Two = "2");
setting!(FlowControl: None = "none", Software = "xon/xoff", Hardware = "rts/cts");

/// How many bits a character has.
///
/// ```
/// use becket_sys::serial::DataBits;
///
/// assert_eq!(DataBits::default(), DataBits::Eight);
/// assert_eq!(DataBits::Seven.to_string(), "7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DataBits {
    /// 5 bits.
    #[doc(alias = "CS5")]
    Five,
    /// 6 bits.
    #[doc(alias = "CS6")]
    Six,
    /// 7 bits.
    #[doc(alias = "CS7")]
    Seven,
    /// 8 bits, the default.
    #[doc(alias = "CS8")]
    #[default]
    Eight,
}

/// The check bit of a character. Where there is one, it is checked, too: a wrong character reads as a zero byte.
///
/// ```
/// use becket_sys::serial::Parity;
///
/// assert_eq!(Parity::default(), Parity::None);
/// assert_eq!(Parity::Even.to_string(), "E");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Parity {
    /// No check bit, the default.
    #[default]
    None,
    /// The number of ones is odd.
    #[doc(alias = "PARODD")]
    Odd,
    /// The number of ones is even.
    #[doc(alias = "PARENB")]
    Even,
    /// Always one.
    #[doc(alias = "CMSPAR")]
    Mark,
    /// Always zero.
    #[doc(alias = "CMSPAR")]
    Space,
}

/// How many bits long the line rests after a character.
///
/// ```
/// use becket_sys::serial::StopBits;
///
/// assert_eq!(StopBits::default(), StopBits::One);
/// assert_eq!(StopBits::Two.to_string(), "2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StopBits {
    /// One bit, the default.
    #[default]
    One,
    /// Two bits; with five data bits, one and a half on most chips.
    #[doc(alias = "CSTOPB")]
    Two,
}

/// How a receiver that is full stops the sender.
///
/// ```
/// use becket_sys::serial::FlowControl;
///
/// assert_eq!(FlowControl::default(), FlowControl::None);
/// assert_eq!(FlowControl::Hardware.to_string(), "rts/cts");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FlowControl {
    /// It does not, the default.
    #[default]
    None,
    /// By the characters Ctrl-S and Ctrl-Q, which the data then cannot contain.
    #[doc(alias = "IXON")]
    #[doc(alias = "IXOFF")]
    Software,
    /// By the lines RTS and CTS.
    #[doc(alias = "CRTSCTS")]
    Hardware,
}

pub(super) fn get(fd: BorrowedFd<'_>) -> io::Result<Settings> {
    Ok(decode(&tcgetattr(fd)?))
}

pub(super) fn set(fd: BorrowedFd<'_>, want: &Settings) -> io::Result<()> {
    if want.baud == speed::B0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a baud of 0 would hang up the line"));
    }
    change(fd, |termios| encode(termios, want))?;
    verify(want, &get(fd)?)
}

fn encode(termios: &mut Termios, want: &Settings) -> rustix::io::Result<()> {
    termios.make_raw();
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios.set_speed(want.baud)?;

    let software = InputModes::IXON | InputModes::IXOFF;
    termios.input_modes.remove(software | InputModes::IXANY | InputModes::IGNPAR | InputModes::INPCK);
    termios.input_modes.set(InputModes::INPCK, want.parity != Parity::None);
    termios.input_modes.set(software, want.flow_control == FlowControl::Software);

    let modes = &mut termios.control_modes;
    modes.remove(ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR);
    modes.insert(ControlModes::CREAD | ControlModes::CLOCAL);
    modes.insert(match want.data_bits {
        DataBits::Five => ControlModes::CS5,
        DataBits::Six => ControlModes::CS6,
        DataBits::Seven => ControlModes::CS7,
        DataBits::Eight => ControlModes::CS8,
    });
    modes.insert(match want.parity {
        Parity::None => ControlModes::empty(),
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Even => ControlModes::PARENB,
        Parity::Mark => ControlModes::PARENB | ControlModes::CMSPAR | ControlModes::PARODD,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
    });
    modes.set(ControlModes::CSTOPB, want.stop_bits == StopBits::Two);
    modes.set(ControlModes::CRTSCTS, want.flow_control == FlowControl::Hardware);
    Ok(())
}

fn decode(termios: &Termios) -> Settings {
    let modes = termios.control_modes;
    let size = modes & ControlModes::CSIZE;
    let parity = |mark_or_space, odd| match (mark_or_space, odd) {
        (false, true) => Parity::Odd,
        (false, false) => Parity::Even,
        (true, true) => Parity::Mark,
        (true, false) => Parity::Space,
    };
    Settings {
        baud: termios.output_speed(),
        data_bits: match size {
            ControlModes::CS5 => DataBits::Five,
            ControlModes::CS6 => DataBits::Six,
            ControlModes::CS7 => DataBits::Seven,
            _ => DataBits::Eight,
        },
        parity: if modes.contains(ControlModes::PARENB) {
            parity(modes.contains(ControlModes::CMSPAR), modes.contains(ControlModes::PARODD))
        } else {
            Parity::None
        },
        stop_bits: if modes.contains(ControlModes::CSTOPB) { StopBits::Two } else { StopBits::One },
        flow_control: if modes.contains(ControlModes::CRTSCTS) {
            FlowControl::Hardware
        } else if termios.input_modes.intersects(InputModes::IXON | InputModes::IXOFF) {
            FlowControl::Software
        } else {
            FlowControl::None
        },
    }
}

/// tcsetattr(3) succeeds where any of the changes could be made: see whether all were.
fn verify(want: &Settings, got: &Settings) -> io::Result<()> {
    same_baud("baud", want.baud, got.baud)?;
    same("data bits", want.data_bits, got.data_bits)?;
    same("parity", want.parity, got.parity)?;
    same("stop bits", want.stop_bits, got.stop_bits)?;
    same("flow control", want.flow_control, got.flow_control)
}

/// Dividers seldom meet the number exactly; beyond a few per cent the two ends no longer understand each other.
fn same_baud(setting: &'static str, want: u32, got: u32) -> io::Result<()> {
    if got.abs_diff(want) > want / 33 { Err(refused(setting, want, got)) } else { Ok(()) }
}

pub(super) fn input_baud(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(tcgetattr(fd)?.input_speed())
}

pub(super) fn set_input_baud(fd: BorrowedFd<'_>, baud: u32) -> io::Result<()> {
    if baud == speed::B0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "to the kernel, an input baud of 0 is the output's"));
    }
    change(fd, |termios| termios.set_input_speed(baud))?;
    same_baud("input baud", baud, input_baud(fd)?)
}

/// The least number of bytes, and the tenths of a second.
pub(super) fn read_minimum(fd: BorrowedFd<'_>) -> io::Result<(u8, u8)> {
    let codes = tcgetattr(fd)?.special_codes;
    Ok((codes[SpecialCodeIndex::VMIN], codes[SpecialCodeIndex::VTIME]))
}

pub(super) fn set_read_minimum(fd: BorrowedFd<'_>, bytes: u8, tenths: u8) -> io::Result<()> {
    change(fd, |termios| {
        termios.special_codes[SpecialCodeIndex::VMIN] = bytes;
        termios.special_codes[SpecialCodeIndex::VTIME] = tenths;
        Ok(())
    })
}

pub(super) fn set_error_marks(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    change(fd, |termios| {
        let checked = termios.control_modes.contains(ControlModes::PARENB);
        termios.input_modes.set(InputModes::PARMRK, on);
        // Framing, too, is looked at only with this.
        termios.input_modes.set(InputModes::INPCK, on || checked);
        Ok(())
    })
}

pub(super) fn hangs_up_on_close(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(tcgetattr(fd)?.control_modes.contains(ControlModes::HUPCL))
}

pub(super) fn set_hang_up_on_close(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    change(fd, |termios| {
        termios.control_modes.set(ControlModes::HUPCL, on);
        Ok(())
    })?;
    let word = |on| if on { "on" } else { "off" };
    same("hang-up on close", word(on), word(hangs_up_on_close(fd)?))
}

fn change(fd: BorrowedFd<'_>, how: impl FnOnce(&mut Termios) -> rustix::io::Result<()>) -> io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    how(&mut termios)?;
    Ok(retry_on_intr(|| tcsetattr(fd, OptionalActions::Now, &termios))?)
}
