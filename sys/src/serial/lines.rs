use bitflags::bitflags;

bitflags! {
    /// The modem lines of a serial port: ioctl_tty(2). Unknown ones are kept.
    ///
    /// We drive [`DTR`](Self::DTR) and [`RTS`](Self::RTS); the peer drives [`CTS`](Self::CTS), [`DCD`](Self::DCD),
    /// [`RI`](Self::RI) and [`DSR`](Self::DSR).
    ///
    /// ```
    /// use becket_sys::serial::ModemLines;
    ///
    /// let lines = ModemLines::from_bits_retain(0x0126);
    /// assert_eq!(lines, ModemLines::DTR | ModemLines::RTS | ModemLines::CTS | ModemLines::DSR);
    /// assert!(!lines.contains(ModemLines::DCD));
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ModemLines: u32 {
        /// Data terminal ready.
        #[doc(alias = "TIOCM_DTR")]
        const DTR = 0x002;
        /// Request to send. With hardware flow control the driver moves it by itself.
        #[doc(alias = "TIOCM_RTS")]
        const RTS = 0x004;
        /// Clear to send.
        #[doc(alias = "TIOCM_CTS")]
        const CTS = 0x020;
        /// Data carrier detect.
        #[doc(alias = "TIOCM_CAR")]
        #[doc(alias = "TIOCM_CD")]
        const DCD = 0x040;
        /// Ring indicator.
        #[doc(alias = "TIOCM_RNG")]
        #[doc(alias = "TIOCM_RI")]
        const RI = 0x080;
        /// Data set ready.
        #[doc(alias = "TIOCM_DSR")]
        const DSR = 0x100;
        /// An output for the board's own use; PCs gate interrupts with `OUT2`.
        #[doc(alias = "TIOCM_OUT1")]
        const OUT1 = 0x2000;
        /// An output for the board's own use; PCs gate interrupts with it.
        #[doc(alias = "TIOCM_OUT2")]
        const OUT2 = 0x4000;
        /// Connects the port with itself, inside the chip: what is sent is received, `CTS` follows `RTS` and `DSR`
        /// follows `DTR`.
        #[doc(alias = "TIOCM_LOOP")]
        const LOOP = 0x8000;

        const _ = !0;
    }
}
